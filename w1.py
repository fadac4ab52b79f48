import sys

sys.path.insert(0, "/tmp/w/core-scratch")
from noise import make
from personlab import DecodeOptions, decode_poses, stages

h, s, m = make("noise", 8)
o = DecodeOptions(peak_threshold=1e-6)
decode_poses(h, s, m, stride=8, options=o)
if len(sys.argv) > 1:
    print(len(stages.find_peaks(stages.hough_vote(h, s, stride=8, options=o), options=o).scores))
