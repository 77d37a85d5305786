"""Certificate authorities and certificates for the tests of TLS, made by the program `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CA_CONFIGURATION = """\
[ca]
default_ca = authority
[authority]
database = {folder}/index.txt
new_certs_dir = {folder}
serial = {folder}/serial
default_md = sha256
policy = anything
copy_extensions = copy
unique_subject = no
[anything]
commonName = supplied
"""
PASSPHRASE = "open-sesame"


@dataclass(frozen=True, slots=True)
class Pair:
    """The PEM files of a certificate and of its private key."""

    certificate: Path
    key: Path

    def bundle(self) -> Path:
        """Returns one PEM file with the key and the certificate, as a broker's keystore."""
        path = self.key.with_suffix(".bundle.pem")
        path.write_text(self.key.read_text("ascii") + self.certificate.read_text("ascii"), "ascii")
        return path


class Authority:
    """A certificate authority with its own key, in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._configuration = folder / "ca.cnf"
        self._configuration.write_text(_CA_CONFIGURATION.format(folder=folder), "ascii")
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n", "ascii")
        self._key = folder / "ca.key"
        self.certificate = folder / "ca.pem"
        """The file that clients trust."""
        subject = ["-subj", f"/CN={name}", "-days", "30", "-out", str(self.certificate)]
        _openssl("req", "-x509", *_new_key(self._key), *subject)

    def issue(self, name: str, *, host: str = "DNS:localhost", expired: bool = False) -> Pair:
        """Returns a certificate for `host` (an alternative name as OpenSSL writes it) with a key of its own."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = self._folder / f"{name}.csr"
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={host}", "-out", str(request)]
        _openssl("req", *_new_key(pair.key), *names)
        period = ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"] if expired else ["-days", "30"]
        signing = ["-config", str(self._configuration), "-cert", str(self.certificate), "-keyfile", str(self._key)]
        _openssl("ca", "-batch", "-notext", *signing, *period, "-in", str(request), "-out", str(pair.certificate))
        return pair


def encrypted(key: Path) -> Path:
    """Returns a copy of a private key that PASSPHRASE encrypts."""
    path = key.with_suffix(".encrypted.key")
    protection = ["-topk8", "-v2", "aes-256-cbc", "-passout", f"pass:{PASSPHRASE}"]
    _openssl("pkcs8", *protection, "-in", str(key), "-out", str(path))
    return path


def _new_key(path: Path) -> list[str]:
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
