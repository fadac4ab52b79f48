"""Arrays of other libraries, and other arguments: taken once, checked once. Serves any method.

`take` finds where the arrays of a call lie and makes a record of each (`array`), by which shapes (`shapes`) are checked
before anything is copied. `host` and `device` read what NumPy, torch, DLPack and `__cuda_array_interface__` offer;
`stream` is where work for a GPU is queued. `numbers` checks the arguments that are no arrays.
"""
