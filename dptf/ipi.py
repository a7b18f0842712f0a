"""The ``dp_ipi`` command: forces of a frozen model for i-PI, or any program that speaks its socket protocol.

The server asks, the driver answers. Every message starts with a word in 12 bytes; numbers are int32 and double in the
order of bytes of the machine, in atomic units. Cells and virials travel with lattice vectors as columns.
"""

import argparse
import os
import socket
import struct
import sys

from dptf import __version__
from dptf.errors import UserError

# What the public driver uses; one does not want trajectories to differ in the seventh digit for a constant.
BOHR = 0.52917721  # [Å]
HARTREE = 27.21138602  # [eV]
UNIX_PREFIX = "/tmp/ipi_"  # part of the protocol: where i-PI listens on a Unix socket called <host>
_HEADER = 12

_KEYS = {"verbose": bool, "use_unix": bool, "port": int, "host": str, "graph_file": str, "coord_file": str,
         "atom_type": dict}  # fmt: skip
_KIND = {bool: "true or false", int: "a whole number", str: "a text", dict: "a section {name: type index}"}


def read_settings(path):
    """Settings of ``dp_ipi`` from a JSON file, every key checked."""
    from dptf.config.text import read

    settings = read(path)[0]
    unknown = [key for key in settings if key not in _KEYS and not key.startswith("_")]
    if unknown:
        raise UserError(f"unknown key '{unknown[0]}'", path, f"the keys are {', '.join(_KEYS)}")
    for key, kind in _KEYS.items():
        if key not in settings:
            if key == "port" and settings.get("use_unix") is True:
                continue
            raise UserError(f"key '{key}' is missing", path, f"give {_KIND[kind]}")
        _require(settings[key], kind, f"{path}, {key}")
    if not settings["use_unix"] and not 0 < settings["port"] < 65536:
        raise UserError(f"{settings['port']} is not a port", f"{path}, port", "give the port of the server, 1 to 65535")
    for name, index in settings["atom_type"].items():
        _require(index, int, f"{path}, atom_type/{name}")
    return settings


def _require(value, kind, where):
    # A bool is an int to Python, but not to whoever wrote it.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{value!r} is not {_KIND[kind]}", where, f"give {_KIND[kind]}")


def read_types(path, atom_type, settings_file):
    """Type of every atom, from the names in an xyz file (first column; all others are ignored)."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    head = lines[0].split() if lines else []
    if len(head) != 1 or not head[0].isdigit() or int(head[0]) == 0:
        raise UserError(
            "an xyz file starts with the number of atoms", f"{path}, line 1", "use an xyz file as coord_file"
        )
    count = int(head[0])
    if len(lines) < count + 2:
        raise UserError(f"{count} atoms are announced, {max(len(lines) - 2, 0)} are there", path, "complete the file")
    types = []
    for number, line in enumerate(lines[2 : count + 2], 3):
        words = line.split()
        if len(words) < 4:
            raise UserError(f"'{line.strip()}' is not an atom", f"{path}, line {number}", "write NAME x y z")
        if words[0] not in atom_type:
            known = ", ".join(atom_type) or "none"
            raise UserError(f"atom '{words[0]}' has no type (known: {known})", f"{path}, line {number}",
                            f"add it to atom_type in {settings_file}")  # fmt: skip
        types.append(atom_type[words[0]])
    return types


def load_model(settings, settings_file):
    """The model of the settings, checked against their types."""
    from dptf.infer.deep_pot import DeepPot

    graph = settings["graph_file"]
    model = DeepPot(graph)
    for name, index in settings["atom_type"].items():
        if not 0 <= index < model.get_ntypes():
            known = ", ".join(f"{k}: {t}" for k, t in enumerate(model.get_type_map()))
            raise UserError(f"{graph} has no type {index}", f"{settings_file}, atom_type/{name}",
                            f"give one of 0 to {model.get_ntypes() - 1}" + (f" ({known})" if known else ""))  # fmt: skip
    if model.get_dim_fparam() or model.get_dim_aparam():
        raise UserError("the model needs frame or atom parameters, which i-PI cannot give", graph,
                        "use a model without them")  # fmt: skip
    return model


def connect(settings, settings_file):
    """A connected socket, and the name of its other end."""
    host = settings["host"]
    if settings["use_unix"]:
        # i-PI can be told another prefix; a whole path stands for itself.
        name = host if os.path.isabs(host) else UNIX_PREFIX + host
        family, address = socket.AF_UNIX, name
    else:
        family, address = socket.AF_INET, (host, settings["port"])
        name = f"{host}:{settings['port']}"
    link = socket.socket(family, socket.SOCK_STREAM)
    try:
        link.connect(address)
        if family == socket.AF_INET:
            # Short questions and answers: none may wait for the next.
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as err:
        link.close()
        raise UserError(f"no server answers at {name}: {err.strerror or err}", settings_file,
                        "start i-PI first, and give its address in use_unix, host and port") from None  # fmt: skip
    return link, name


class Driver:
    """Answers one server until it is done.

    Parameters
    ----------
    link : socket.socket
        Connected.
    name : str
        Of the server, for messages.
    model : DeepPot
    types : list of int
        One for each atom.
    tell : callable
        Takes a line of the log.
    """

    def __init__(self, link, name, model, types, tell):
        self.link, self.name, self.model, self.types, self.tell = link, name, model, types, tell
        self.result = None

    def run(self):
        """Answer every message; return after EXIT, or when the server hangs up with nothing under way, as ASE does."""
        answer = {
            "STATUS": lambda: self._send(b"HAVEDATA" if self.result else b"READY"),
            "INIT": self._init, "POSDATA": self._evaluate, "GETFORCE": self._give,
        }  # fmt: skip
        while True:
            data = self._receive(_HEADER, may_end=self.result is None)
            if data is None:
                print(f"dp_ipi: {self.name} closed the connection", flush=True)
                return
            word = data.decode("ascii", "replace").strip()
            self.tell(f"server: {word}")
            if word == "EXIT":
                return
            if word not in answer:
                raise UserError(f"unknown message '{word}'", self.name, "use a server that speaks the i-PI protocol")
            answer[word]()

    def _init(self):
        """Which replica this is, and a text: neither matters to a potential."""
        _replica, length = struct.unpack("=2i", self._receive(8))
        if length < 0:
            raise UserError(f"INIT announces {length} bytes", self.name, "use a server that speaks the i-PI protocol")
        self._receive(length)

    def _evaluate(self):
        import numpy as np

        cell = np.frombuffer(self._receive(72)).reshape(3, 3).T * BOHR
        self._receive(72)  # inverse of the cell
        (count,) = struct.unpack("=i", self._receive(4))
        if count != len(self.types):
            raise UserError(f"the server sends {count} atoms, coord_file has {len(self.types)}", self.name,
                            "give both the same structure")  # fmt: skip
        coord = np.frombuffer(self._receive(24 * count)).reshape(1, count, 3) * BOHR
        # A cell of zeros is how other servers say that nothing is periodic.
        energy, force, virial = self.model.eval(coord, cell.reshape(1, 9) if cell.any() else None, self.types)
        self.result = (
            float(energy[0, 0]) / HARTREE,
            np.ascontiguousarray(force[0] * (BOHR / HARTREE), dtype=float),
            np.ascontiguousarray(virial[0].reshape(3, 3).T / HARTREE, dtype=float),
        )
        self.tell(f"energy {self.result[0]:.10f} Hartree")

    def _give(self):
        if self.result is None:
            raise UserError(
                "asks for forces before it sent positions", self.name, "use a server that speaks the i-PI protocol"
            )
        energy, force, virial = self.result
        extra = b"nothing"
        self._send(b"FORCEREADY", struct.pack("=di", energy, len(force)), force.tobytes(), virial.tobytes(),
                   struct.pack("=i", len(extra)), extra)  # fmt: skip
        self.result = None

    def _send(self, word, *parts):
        try:
            self.link.sendall(b"".join((word.ljust(_HEADER), *parts)))
        except OSError as err:
            raise self._lost(err.strerror) from None

    def _receive(self, size, may_end=False):
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            try:
                n = self.link.recv_into(view[got:])
            except OSError as err:
                raise self._lost(err.strerror) from None
            if n == 0 and got == 0 and may_end:
                return None
            if n == 0:
                raise self._lost("closed without EXIT")
            got += n
        return bytes(data)

    def _lost(self, why):
        return UserError(f"the connection is lost: {why}", self.name, "see the output of the server")


def run(path):
    """Serve with the settings of a file until the server is done."""
    settings = read_settings(path)
    # What is wrong in the small files is told before the seconds that TensorFlow takes.
    types = read_types(settings["coord_file"], settings["atom_type"], path)
    model = load_model(settings, path)
    link, name = connect(settings, path)
    tell = (lambda line: print(line, flush=True)) if settings["verbose"] else (lambda line: None)
    with link:
        print(f"dp_ipi: {len(types)} atoms, {settings['graph_file']}, connected to {name}", flush=True)
        Driver(link, name, model, types, tell).run()


def main(argv=None):
    """Run the command line and return the exit status."""
    from dptf.cli.main import error_text

    parser = argparse.ArgumentParser(prog="dp_ipi", description="Forces of a frozen model for i-PI (socket protocol).")
    parser.add_argument("input", metavar="INPUT.json", help=f"settings: {', '.join(_KEYS)}")
    parser.add_argument("--version", action="version", version=f"DeePMD-kit v{__version__} (dptf)")
    args = parser.parse_args(argv)
    try:
        run(args.input)
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
        return 130
    except Exception as err:
        text = error_text(err)
        if text is None:
            raise
        print(f"Error: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
