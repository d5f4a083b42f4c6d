"""Records that are objects already, as a batch."""

from __future__ import annotations

from collections.abc import Sequence

from brokercli.backends.contract import Batch
from brokercli.backends.envelope import encode_record
from brokercli.model.message import Record


class RecordList(Batch):
    """Some records, in the order given."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    def __len__(self) -> int:
        return len(self._records)

    def bodies(self) -> list[bytes]:
        return [record.message.body or b"" for record in self._records]

    def envelopes(self) -> list[bytes]:
        return [encode_record(record) for record in self._records]

    def records(self) -> list[Record]:
        return list(self._records)

    def select(self, indices: Sequence[int]) -> RecordList:
        return RecordList([self._records[index] for index in indices])
