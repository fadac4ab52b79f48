"""Files are written whole or not at all: whatever the target is, whoever else writes, whatever goes wrong."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from personlab.io.files import write_whole

SIZE = 2**18


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def python(code, *arguments, **more):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, check=False, timeout=60, **more
    )


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    write_whole(tmp_path / "a", b"1")
    write_whole(str(tmp_path / "a"), b"23")
    assert (tmp_path / "a").read_bytes() == b"23"
    assert left(tmp_path) == ["a"]


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm on this system")
def test_a_file_in_shared_memory_is_a_file():
    path = Path(f"/dev/shm/personlab-test-{os.getpid()}")
    try:
        write_whole(path, b"1")
        write_whole(path, b"2")
        assert path.read_bytes() == b"2"
    finally:
        path.unlink()


def test_threads_and_processes_write_one_file_and_readers_see_whole_ones(tmp_path):
    target, errors = tmp_path / "race", []
    write_whole(target, bytes(SIZE))
    code = (
        "import sys; from personlab.io.files import write_whole\n"
        f"for _ in range(30): write_whole(sys.argv[1], b'p' * {SIZE})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(target)]) for _ in range(2)]

    def write(number):
        try:
            for _ in range(30):
                write_whole(target, bytes([number]) * SIZE)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    reads = 0
    while any(thread.is_alive() for thread in threads) or any(process.poll() is None for process in processes):
        content = target.read_bytes()
        assert len(content) == SIZE
        assert len(set(content)) == 1
        reads += 1
    assert [process.returncode for process in processes] == [0, 0]
    assert not errors
    assert reads > 10
    assert left(tmp_path) == ["race"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o775])
def test_the_mode_of_an_older_file_is_kept(tmp_path, mode):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    write_whole(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("umask", ["022", "077", "002"])
def test_a_new_file_has_what_the_umask_leaves(tmp_path, umask):
    setup = f"import os, sys; os.umask(0o{umask}); from personlab.io.files import write_whole"
    code = f"{setup}; write_whole(sys.argv[1], b'x')"
    assert python(code, tmp_path / "a").returncode == 0
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~int(umask, 8)


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "图" * 85, "." + "a" * 254])
def test_names_as_long_as_the_file_system_takes(tmp_path, name):
    for content in (b"1", b"2"):
        write_whole(tmp_path / name, content)
    assert (tmp_path / name).read_bytes() == b"2"
    assert left(tmp_path) == [name]


def test_a_longer_name_is_refused_by_its_own_name(tmp_path):
    with pytest.raises(OSError, match=r"a{256}'$"):
        write_whole(tmp_path / ("a" * 256), b"")


def test_links_stay_and_their_targets_are_written(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "real").write_bytes(b"old")
    links = {"link": "data/real", "chain": "link", "dangling": "data/new"}
    for link, target in links.items():
        (tmp_path / link).symlink_to(target)
    write_whole(tmp_path / "chain", b"new")
    assert (tmp_path / "data" / "real").read_bytes() == b"new"
    write_whole(tmp_path / "dangling", b"made")
    assert (tmp_path / "data" / "new").read_bytes() == b"made"
    assert {link: str((tmp_path / link).readlink()) for link in links} == links
    assert left(tmp_path / "data") == ["new", "real"]


def test_what_cannot_be_written_is_refused_by_the_name_given(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "far").symlink_to("nowhere/file")
    for path, problem in (
        (tmp_path / "none" / "a", "no such folder"),
        (tmp_path / "far", "no such folder"),
        (tmp_path / "loop", "symbolic links"),
        (tmp_path, "got a folder"),
    ):
        with pytest.raises(OSError, match=problem) as caught:
            write_whole(path, b"")
        assert str(path) in str(caught.value)
    assert left(tmp_path) == ["far", "loop"]


def test_a_read_only_file_is_left_alone(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o444)
    tmp_path.chmod(0o777)
    code = (
        "import os, sys; from personlab.io.files import write_whole\n"
        "os.geteuid() or os.seteuid(65534)\n"
        "try: write_whole(sys.argv[1], b'new')\n"
        "except PermissionError as error: print(error.filename)"
    )
    for folder in tmp_path.parents[:2]:  # pytest's own folders are the user's alone
        folder.chmod(0o755)
    assert python(code, path, stdout=subprocess.PIPE).stdout.strip() == str(path)
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from personlab.io.files import write_whole\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: write_whole(sys.argv[1], bytes(10**6))\n"
        "except OSError as error: print(error.filename)"
    )
    assert python(code, path, stdout=subprocess.PIPE).stdout.strip() == str(path)
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a"]


def test_an_interrupt_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert left(tmp_path) == ["a"]


def test_the_disk_has_the_content_before_the_name(tmp_path, monkeypatch):
    seen = []

    def fsync(descriptor):
        seen.append((os.fstat(descriptor).st_size, (tmp_path / "a").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "a", b"12345")
    assert seen == [(5, False)]


def test_pipes_and_devices_are_written_into(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join()
    assert got == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_whole("/dev/null", b"gone")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole("/dev/full", b"x")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
def test_standard_output_takes_its_turn(tmp_path, name):
    (tmp_path / "link").symlink_to("/dev/stdout")
    code = (
        "import sys; from personlab.io.files import write_whole\n"
        "print('before'); write_whole(sys.argv[1], b'content\\n'); print('after')"
    )
    path = tmp_path / name  # an absolute name stays what it is
    with (tmp_path / "out").open("wb") as file:
        assert python(code, path, stdout=file).returncode == 0
    assert (tmp_path / "out").read_text() == "before\ncontent\nafter\n"
    assert python(code, path, stdout=subprocess.PIPE).stdout == "before\ncontent\nafter\n"
