"""`laulima cert`: the private authority for hosts that dial in (`link: tls`). Needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from live.certificates import SERVER_NAME
from live.host_names import HOST_NAME
from live.tls import WARN_DAYS, read_denied
from shell.certificate_authority import DAYS_MAX, DENIED_NAME, Authority, days_left
from shell.hostset import expand
from shell.selections import UsageError
from shell.session import Session

RESERVED = ("ca", "server", SERVER_NAME)
"""File names of the authority; no host can have them."""


def cert(session: Session, *, verb: str, names: Sequence[str], folder: str, days: int) -> int:
    """Make, list, renew or revoke certificates."""
    if days > DAYS_MAX:
        raise UsageError(f"--days: at most {DAYS_MAX}")
    authority = Authority(Path(folder))
    wanted = [name for words in names for name in expand(words)]
    if verb in ("init", "list") and wanted:
        raise UsageError(f"cert {verb} takes no names")
    if verb not in ("init", "list") and not wanted:
        raise UsageError(f"cert {verb} needs the names of hosts")
    if verb == "init":
        authority.begin()
        session.say(f"{folder}: an authority, and the certificate of the server")
        session.say("next: laulima cert host NAME; in the pipeline: cluster: {listen: {address: 0.0.0.0, port: 7433}}")
        return 0
    if verb == "list":
        return _list(session, authority)
    for name in wanted:
        if name in RESERVED and not (name == "server" and verb != "host"):
            raise UsageError(f"{name} cannot be the name of a host")
        if not HOST_NAME.fullmatch(name):
            raise UsageError(f"{name} cannot be the name of a host: letters, digits, _ . - are allowed")
        _one(session, authority, verb, SERVER_NAME if name == "server" else name, days)
    return 0


def _one(session: Session, authority: Authority, verb: str, name: str, days: int) -> None:
    if verb == "revoke":
        authority.revoke(name)
        session.say(f"{name}: refused from now on ({authority.folder / DENIED_NAME})")
        return
    made = authority.issue(name, days) if verb == "host" else authority.renew(name, days)
    files = f"{authority.certificate(name)}, {authority.key(name)}"
    there = "" if name == SERVER_NAME else "; take them and ca.pem there"
    session.say(f"{name}: {files}, valid for {days_left(made)} days{there}")


def _list(session: Session, authority: Authority) -> int:
    denied = read_denied(authority.folder / DENIED_NAME)
    rows = []
    for name, found in authority.all():
        left = days_left(found)
        state = "expired" if left < 0 else f"expires in {left} days" if left < WARN_DAYS else f"{left} days"
        rows.append((name, "revoked" if found.fingerprint in denied else state, found.fingerprint[:16]))
    if not rows:
        session.say(f"no certificate in {authority.folder}")
    width = max((len(row[0]) for row in rows), default=0)
    for name, state, fingerprint in rows:
        session.say(f"{name:<{width}}  {state:<20}  {fingerprint}")
    return 0
