"""The driver against a small server of the i-PI protocol."""

import json
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from dptf import ipi

MODELS = Path(__file__).resolve().parents[1] / "data" / "infer"


@pytest.fixture(scope="module")
def case():
    return np.load(MODELS / "se_e2_a.npz")


@pytest.fixture
def setup(tmp_path, case, monkeypatch):
    """Input of a driver with relative file names in its folder; returns a function that writes it with changes."""
    monkeypatch.chdir(tmp_path)
    names = np.array(["O", "H"])[case["atype"]]
    rows = [f"{n} {x:.8f} {y:.8f} {z:.8f}" for n, (x, y, z) in zip(names, case["coord"][0].reshape(-1, 3))]
    (tmp_path / "water.xyz").write_text("\n".join([str(len(rows)), "water", *rows]) + "\n")

    def write(drop=None, **changes):
        keys = {"verbose": False, "use_unix": False, "port": 31415, "host": "127.0.0.1",
                "graph_file": str(MODELS / "se_e2_a.pb"), "coord_file": "water.xyz", "atom_type": {"O": 0, "H": 1}}  # fmt: skip
        keys.update(changes)
        keys.pop(drop, None)
        (tmp_path / "input.json").write_text(json.dumps(keys))
        return ["input.json"]

    return write


def take(link, size):
    data = b""
    while len(data) < size:
        part = link.recv(size - len(data))
        assert part, "the driver hung up"
        data += part
    return data


def ask(link, word):
    link.sendall(word.ljust(12).encode())


def status(link):
    ask(link, "STATUS")
    return take(link, 12).decode().strip()


def evaluate(link, cell, coord):
    """One step of a server; numbers in atomic units, rows of the cell are lattice vectors."""
    ask(link, "POSDATA")
    inverse = np.linalg.inv(cell) if cell.any() else cell
    for array in (cell.T, inverse.T):
        link.sendall(np.ascontiguousarray(array).tobytes())
    link.sendall(struct.pack("=i", len(coord)) + np.ascontiguousarray(coord).tobytes())
    assert status(link) == "HAVEDATA"
    ask(link, "GETFORCE")
    assert take(link, 12) == b"FORCEREADY  "
    energy, n = struct.unpack("=di", take(link, 12))
    force = np.frombuffer(take(link, 24 * n)).reshape(n, 3)
    virial = np.frombuffer(take(link, 72)).reshape(3, 3)
    (size,) = struct.unpack("=i", take(link, 4))
    assert take(link, size) == b"nothing"
    return energy, force, virial


def serve(server, talk):
    """Let `talk` speak to the first driver that connects; returns its thread and where its result appears."""
    server.settimeout(60)
    server.listen(1)
    result = []

    def body():
        link = server.accept()[0]
        with link:
            link.settimeout(60)
            result.append(talk(link))

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread, result


@pytest.mark.parametrize("unix", [False, True])
def test_energies_forces_and_virials(setup, case, unix, tmp_path, capsys):
    def talk(link):
        assert status(link) == "READY"
        ask(link, "INIT")
        text = b"x" * 5000
        link.sendall(struct.pack("=2i", 3, len(text)) + text)
        out = []
        for cell in (case["box"][0].reshape(3, 3), case["box"][1].reshape(3, 3), np.zeros((3, 3))):
            frame = 1 if len(out) == 1 else 0
            out.append(evaluate(link, cell / ipi.BOHR, case["coord"][frame].reshape(-1, 3) / ipi.BOHR))
            assert status(link) == "READY"
        ask(link, "EXIT")
        return out

    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as server:
        if unix:
            server.bind(str(tmp_path / "s"))
            given = setup(drop="port", use_unix=True, host=str(tmp_path / "s"), verbose=True)
        else:
            server.bind(("127.0.0.1", 0))
            given = setup(port=server.getsockname()[1])
        thread, result = serve(server, talk)
        assert ipi.main(given) == 0
        thread.join(60)
    assert ("server: POSDATA" in capsys.readouterr().out) == unix
    for (energy, force, virial), (kind, k) in zip(result[0], (("pbc", 0), ("pbc", 1), ("nopbc", 0)), strict=True):
        np.testing.assert_allclose(energy * ipi.HARTREE, case[f"{kind}_energy"][k, 0], rtol=0, atol=1e-9)
        np.testing.assert_allclose(force * (ipi.HARTREE / ipi.BOHR), case[f"{kind}_force"][k], rtol=0, atol=1e-9)
        expected = case[f"{kind}_virial"][k].reshape(3, 3)
        np.testing.assert_allclose(virial.T * ipi.HARTREE, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "talk, words",
    [
        (lambda link: ask(link, "HELLO"), "unknown message 'HELLO'"),
        (lambda link: ask(link, "GETFORCE"), "before it sent positions"),
        (lambda link: link.sendall(b"STAT"), "the connection is lost"),
        (lambda link: ask(link, "INIT"), "the connection is lost"),
        (lambda link: (ask(link, "POSDATA"), link.sendall(bytes(144) + struct.pack("=i", 7))), "sends 7 atoms"),
    ],
)
def test_servers_that_say_something_else(talk, words):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        talk(theirs)
        theirs.shutdown(socket.SHUT_WR)
        ours.settimeout(10)
        with pytest.raises(ipi.UserError, match=words):
            ipi.Driver(ours, "server", None, [0, 1], lambda line: None).run()


def test_a_server_that_hangs_up_between_steps_is_done(capsys):
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        ipi.Driver(ours, "server", None, [0, 1], lambda line: None).run()
    assert "server closed the connection" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"drop": "host"}, ("'host' is missing",)),
        ({"drop": "port"}, ("'port' is missing",)),
        ({"prot": 1}, ("unknown key 'prot'", "port")),
        ({"port": "31415"}, ("input.json, port", "whole number")),
        ({"port": 0}, ("1 to 65535",)),
        ({"use_unix": 1}, ("input.json, use_unix", "true or false")),
        ({"atom_type": {"O": 0}}, ("water.xyz, line 11", "'H' has no type")),
        ({"atom_type": {"O": 0, "H": 2}}, ("atom_type/H", "no type 2", "0: O, 1: H")),
        ({"atom_type": {"O": 0, "H": "1"}}, ("atom_type/H", "whole number")),
        ({"coord_file": "absent.xyz"}, ("absent.xyz", "No such file")),
        ({"coord_file": "input.json"}, ("starts with the number of atoms",)),
        ({"graph_file": "absent.pb"}, ("absent.pb",)),
        ({"graph_file": str(MODELS / "se_e2_a_fparam_aparam.pb")}, ("parameters",)),
        ({"use_unix": True, "host": "/absent/socket"}, ("no server answers at /absent/socket",)),
    ],
)
def test_mistakes_are_named(setup, capsys, changes, words):
    assert ipi.main(setup(**changes)) == 1
    text = capsys.readouterr().err
    assert text.startswith("Error: ") and len(text.splitlines()) <= 2 and all(w in text for w in words), text
