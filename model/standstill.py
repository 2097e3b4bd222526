"""What leaves a process whose disk stands still: full, or in the middle of a sync that does not end.

Effects wait for the commit of what was recorded before them. Heartbeats must not: an hour without room on the
scheduler's disk would end every job that runs, for the leases of the hosts would. They tell nothing that was decided,
so no record goes before them. (One goes before the parting lease of a clean stop: the next life must know of it, else
it takes for lost what lives on.) Nor does one go before the end of an attempt that nobody may have any more (ORPHAN);
did that wait, a controller whose scheduler is lost would keep alive what that scheduler runs again elsewhere. And a
transport that is made anew carries heartbeats. People hear of a full disk while it is full, too: of an alarm whose
telling could not be recorded they may hear again after a crash. Called by both drivers, `live/loop.py` and
`sim/disk.py`.
"""

from __future__ import annotations

from model.effects import Connect, Effect, LookAround, Notify, ToKeeper, Transmit
from model.keeper import Renew
from model.messages import Batch, Cancel, CancelReason, Message, Ping, Pong

_AT_ONCE = frozenset({Connect, LookAround, Notify})
_HEARTBEATS = frozenset({Ping, Pong})


def part(effect: Effect) -> tuple[Effect | None, Effect | None]:
    """(what of it leaves at once, what of it waits for the commit).

    The rest of a batch does neither: it counts as lost on the way, as does a batch that waits already and has a smaller
    number than one that left. The channel says again what matters, so nothing gathers here for as long as this lasts.
    """
    kind = type(effect)
    if kind is Transmit:
        batch: Batch = effect.batch  # type: ignore[union-attr]
        words = tuple([message for message in batch.messages if _needs_no_record(message)])
        if not words:
            return None, None
        return Transmit(effect.peer, Batch(batch.epoch, batch.sequence, batch.receiver_epoch, words)), None  # type: ignore[union-attr]
    if kind in _AT_ONCE or (kind is ToKeeper and type(effect.order) is Renew):  # type: ignore[union-attr]
        return effect, None
    return None, effect


def _needs_no_record(message: Message) -> bool:
    return type(message) in _HEARTBEATS or (type(message) is Cancel and message.why is CancelReason.ORPHAN)
