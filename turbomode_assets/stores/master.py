"""The shared master store of market data, for everyone who only reads it."""

from turbomode_assets.contracts.tables import MASTER_TABLES
from turbomode_assets.stores.reader import TableReader

MASTER = "master"


class MasterReader(TableReader):
    """Reads market data; has no method that writes."""

    def __init__(self, root: str) -> None:
        super().__init__(root, MASTER, MASTER_TABLES)
