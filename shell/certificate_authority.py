"""A private certificate authority in one folder: makes, renews and revokes the certificates of a server and its hosts.

Used by `laulima cert`. The work is done by the `openssl` program: whoever has Python's ssl has the library, and only
the one machine on which certificates are made needs the program, so no package is added for it (and none has to come
to the hosts). All keys are P-256; a file with a key is made with mode 0600.

    ca.pem  ca.key            the authority; the key stays on this machine
    server.pem  server.key    the server's, for its `cluster.listen`
    NAME.pem  NAME.key        a host's; these two and ca.pem go there
    denied                    fingerprints that are refused, one a line; a server reads it anew when it changes
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from live.certificates import SERVER_NAME, Certificate, CertificateError, read_certificate
from live.clock import wall_ns
from model.errors import NotReachableError
from model.job import SECOND

CA_DAYS: Final = 3650
DAYS: Final = 365
"""How long a certificate is valid unless it is said."""
DAYS_MAX: Final = 3650
DENIED_NAME: Final = "denied"
OPENSSL_SECONDS: Final = 60
"""How long one run of openssl may take."""
DAY_NS: Final = 24 * 3600 * SECOND

_CA: Final = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
_END: Final = (
    "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
    "extendedKeyUsage={purpose}\nsubjectAltName=DNS:{name}\n"
)


class Authority:
    """The authority of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def certificate(self, name: str) -> Path:
        return self.folder / f"{_file(name)}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{_file(name)}.key"

    def begin(self, days: int = CA_DAYS) -> None:
        """Make the authority, and the server's certificate. Raises CertificateError when there is one already."""
        if (self.folder / "ca.key").exists() or (self.folder / "ca.pem").exists():
            raise CertificateError(
                f"{self.folder} has an authority already", "renew what it has issued: laulima cert renew NAME"
            )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_key(self.folder / "ca.key")
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            settings = Path(made) / "settings"
            settings.write_text(f"[req]\ndistinguished_name=who\nx509_extensions=ca\n[who]\n[ca]\n{_CA}")
            new = Path(made) / "ca.pem"
            _openssl("req", "-x509", "-new", "-config", str(settings), "-key", str(self.folder / "ca.key"),
                     "-subj", "/CN=laulima", "-days", str(days), "-out", str(new))  # fmt: skip
            os.replace(new, self.folder / "ca.pem")
        self.issue(SERVER_NAME)

    def issue(self, name: str, days: int = DAYS) -> Certificate:
        """Make a key and a certificate for a host, or for the server. Raises CertificateError when it has one."""
        if self.certificate(name).exists():
            raise CertificateError(f"{name} has a certificate already", f"laulima cert renew {name}")
        return self.renew(name, days)

    def renew(self, name: str, days: int = DAYS) -> Certificate:
        """The same in any case; a certificate that is there is replaced, and stays valid until it expires."""
        if not (self.folder / "ca.key").exists():
            raise CertificateError(f"there is no authority in {self.folder}", "laulima cert init")
        purpose = "serverAuth" if name == SERVER_NAME else "clientAuth"
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            key, request, new, settings = (Path(made) / part for part in ("key", "request", "pem", "settings"))
            settings.write_text("[req]\ndistinguished_name=who\n[who]\n")
            (Path(made) / "extensions").write_text(_END.format(purpose=purpose, name=name))
            self._make_key(key)
            _openssl("req", "-new", "-config", str(settings), "-key", str(key), "-subj", f"/CN={name}",
                     "-out", str(request))  # fmt: skip
            _openssl("x509", "-req", "-in", str(request), "-CA", str(self.folder / "ca.pem"),
                     "-CAkey", str(self.folder / "ca.key"), "-set_serial", str(int.from_bytes(os.urandom(15), "big")),
                     "-days", str(days), "-extfile", str(Path(made) / "extensions"), "-out", str(new))  # fmt: skip
            os.replace(key, self.key(name))
            os.replace(new, self.certificate(name))
        return read_certificate(self.certificate(name))

    def revoke(self, name: str) -> Certificate:
        """Refuse the certificate that a host has now, from the server's next look at the list on."""
        found = self.find(name)
        with open(self.folder / DENIED_NAME, "a", encoding="ascii") as denied:
            denied.write(f"{found.fingerprint}  {name}\n")
        return found

    def find(self, name: str) -> Certificate:
        """Raises CertificateError when it has none."""
        try:
            return read_certificate(self.certificate(name))
        except FileNotFoundError:
            raise CertificateError(f"{name} has no certificate in {self.folder}", f"laulima cert host {name}") from None

    def all(self) -> list[tuple[str, Certificate]]:
        """(file, certificate), the authority's first."""
        return [(path.stem, read_certificate(path)) for path in sorted(self.folder.glob("*.pem"), key=_ca_first)]

    def _make_key(self, path: Path) -> None:
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))


def days_left(certificate: Certificate) -> int:
    """Whole days until it expires; negative afterwards."""
    return (certificate.not_after_ns - wall_ns()) // DAY_NS


def _file(name: str) -> str:
    return "server" if name == SERVER_NAME else name


def _ca_first(path: Path) -> tuple[bool, str]:
    return path.stem != "ca", path.stem


def _openssl(*words: str) -> None:
    """Run openssl; what it makes is for this user only. Raises CertificateError with its words."""
    try:
        done = subprocess.run(  # noqa: S603 - words of this file, and names that were checked
            ["openssl", *words],  # noqa: S607 - the site's own, wherever it is
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=OPENSSL_SECONDS,
            umask=0o077,
            check=False,
        )
    except FileNotFoundError:
        raise NotReachableError(
            "certificates are made with the program openssl, which is not here",
            "install it (package openssl), or make them on another machine",
        ) from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["nothing"])[0]
        raise CertificateError(f"openssl {words[0]} failed: {said}", "try it by hand: openssl version; df -h .")
