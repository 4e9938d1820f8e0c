"""What a model may not do is refused, by Python and by the kernel, and each attempt is recorded."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isolated import faulty, labels, outcomes, requests
from shadowlane.errors import SettingsError
from shadowlane.replay_worker import Isolation, ModelSource
from shadowlane.replay_worker.isolation import _denial, _kernel, open_host
from shadowlane.replay_worker.isolation._isolated import Isolated
from shadowlane.schemas import Failure

WITHOUT_KERNEL = """
import sys
sys.path[:] = {path!r}
from shadowlane.replay_worker.isolation import _denial, _kernel
_kernel.deny_network = lambda: False
_kernel.deny_writes = lambda roots: False
denial = _denial.Denial.of({{"deny_network": True, "deny_writes": True, "scratch": {scratch!r}}})
print(denial.strength)
import faulty_model
for fault, path in [("connect", ""), ("write", {target!r}), ("shell write", {target!r}), ("scratch", "")]:
    try:
        faulty_model.answer({{"fault": fault, "path": path, "n": 1.0}})
    except PermissionError as error:
        print(fault, error)
print(dict(denial.counts))
"""


@pytest.fixture(scope="module")
def offline() -> Iterator[Isolated]:
    """A model without a network."""
    host = faulty(deny_network=True)
    yield host
    host.close()


@pytest.fixture(scope="module")
def reading() -> Iterator[Isolated]:
    """A model that may only read."""
    host = faulty(deny_writes=True)
    yield host
    host.close()


def refused(outcome: float | Failure, option: str) -> bool:
    """Whether the attempt was its request's failure."""
    return isinstance(outcome, Failure) and (outcome.stage, outcome.error_type, outcome.message) == (
        *("predict", "PermissionError"),
        f"[Errno {errno.EACCES}] refused by {option}",
    )


def test_each_attempt_to_reach_the_network_is_refused_and_counted(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Connections, messages and look-ups; the log names each target once; other requests are answered."""
    host = faulty(deny_network=True)
    found = outcomes(host, requests("connect", "", "look up", "connect", "datagram", "connect"))
    host.close()
    assert found[1] == 0.5
    assert all(refused(found[place], "--deny-network") for place in (0, 2, 3, 4, 5))
    assert host.denied == {"network": 5}
    said = capfd.readouterr().err
    for target in ("connection to 192.0.2.1:443", "look-up of shadow.invalid:443", "message to 192.0.2.1:53"):
        assert said.count(f"refused to the model by --deny-network: {target}") == 1


def test_native_code_does_not_reach_the_network(offline: Isolated) -> None:
    """The kernel refuses what Python does not see; nothing listens here, so no other error is as quick."""
    (found,) = outcomes(offline, requests("native connect"))
    assert found == errno.EACCES


def test_without_the_option_the_network_is_there() -> None:
    """The attempt of native code ends as the network says, and is not refused."""
    host = faulty()
    (found,) = outcomes(host, requests("native connect"))
    host.close()
    assert found != errno.EACCES


@pytest.mark.parametrize("fault", ["write", "remove", "native write", "shell write"])
def test_nothing_is_written_nor_removed(fault: str, reading: Isolated, tmp_path: Path) -> None:
    """Not by Python, not by native code, not by a program that the model starts."""
    target = tmp_path / "target"
    if fault == "remove":
        target.write_text("x")
    before, written = reading.denied["write"], target.exists()
    (found,) = outcomes(reading, requests(fault, path=str(target)))
    assert target.exists() == written
    if fault in {"write", "remove"}:
        assert refused(found, "--deny-writes")
        assert reading.denied["write"] == before + 1
    else:  # the kernel's answer, or the program's
        assert found in {float(errno.EACCES), 1.0}


def test_a_model_that_may_not_write_has_a_folder_for_what_it_forgets(reading: Isolated) -> None:
    """Temporary files are its own, and are gone with it; writing to nowhere is no harm."""
    host = faulty(deny_writes=True)
    (folder,) = labels(host, requests("scratch"))
    assert folder is not None
    assert Path(folder).is_dir()
    host.close()
    assert not Path(folder).exists()
    assert "write" not in host.denied


def test_a_refused_model_goes_on_after_its_process_is_replaced(offline: Isolated) -> None:
    """Counts add up over processes."""
    before = offline.denied["network"]
    outcomes(offline, requests("connect"))
    outcomes(offline, requests("exit"))
    outcomes(offline, requests("connect"))
    assert offline.denied["network"] == before + 2


def test_where_the_kernel_cannot_help_python_code_is_refused(tmp_path: Path) -> None:
    """Then no program is started either, since it would not be held; the log says how much is refused."""
    scratch, target = tmp_path / "scratch", tmp_path / "target"
    scratch.mkdir()
    code = WITHOUT_KERNEL.format(path=sys.path, scratch=str(scratch), target=str(target))
    environment = {"TMPDIR": str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "no seccomp here" in done.stdout
    assert "no Landlock here" in done.stdout
    lines = done.stdout.splitlines()[1:]
    assert lines == [
        "connect [Errno 13] refused by --deny-network",
        "write [Errno 13] refused by --deny-writes",
        "shell write [Errno 13] refused by --deny-network or --deny-writes",
        "{'network': 1, 'write': 1, 'process': 1}",
    ]
    assert not target.exists()


def test_the_log_says_how_strongly_it_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    """By the kernel, where that can do it."""
    caplog.set_level("INFO")
    faulty(deny_network=True, deny_writes=True).close()
    assert "network refused by the kernel (seccomp)" in caplog.text
    assert "writes refused by the kernel (Landlock)" in caplog.text


@pytest.mark.parametrize("uri", ["http://models/v2/models/m", "https://models/v2/models/m"])
def test_a_model_over_the_network_needs_it(uri: str) -> None:
    """The two options together are a mistake, said before anything is loaded."""
    with pytest.raises(SettingsError, match=r"--deny-network, and the model is asked over the network"):
        open_host(ModelSource(uri), Isolation(deny_network=True), batch=False, wait=lambda _seconds: None)


@pytest.mark.parametrize(
    "limits",
    [
        {"deny_network": True},
        {"deny_writes": True},
        {"memory_bytes": 1},
        {"recycle_bytes": 1},
        {"recycle_requests": 1},
    ],
)
def test_limits_need_a_process(limits: dict[str, bool]) -> None:
    """What cannot be kept in the worker's own process is not promised."""
    with pytest.raises(SettingsError, match="--isolation none"):
        Isolation("none", **limits)


def test_paths_that_may_be_written_are_not_fooled(tmp_path: Path) -> None:
    """Neighbours with a longer name, ways out and links are seen through."""
    allowed = tmp_path / "scratch"
    allowed.mkdir()
    (tmp_path / "scratch-2").mkdir()
    (allowed / "link").symlink_to(tmp_path / "scratch-2")
    denial = _denial.Denial([str(allowed)])
    assert denial.may_write(allowed / "file")
    assert denial.may_write(str(allowed).encode())
    assert denial.may_write(3)
    for path in (allowed / ".." / "file", tmp_path / "scratch-2" / "file", allowed / "link" / "file"):
        assert not denial.may_write(path)


def test_an_interpreter_without_audit_hooks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is not promised."""
    hooks: list[Callable[..., None]] = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    monkeypatch.setattr(_kernel, "deny_network", lambda: False)
    with pytest.raises(Exception, match="no audit hooks"):
        _denial.Denial.of({"deny_network": True, "deny_writes": False, "scratch": None})


def test_the_filter_is_for_this_machine() -> None:
    """Each of its jumps lands inside it, and it ends with a verdict."""
    for calls in _kernel._CALLS.values():
        program = _kernel._filter(calls)
        assert program[-1][0] == _kernel._RETURN
        for place, (_, so, otherwise, _) in enumerate(program):
            assert place + 1 + max(so, otherwise) <= len(program) - (program[place][0] != _kernel._RETURN)
    assert socket.AF_UNIX == _kernel._UNIX
