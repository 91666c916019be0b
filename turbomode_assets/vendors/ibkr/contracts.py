"""Which IB contract a symbol of the universe stands for, and how its data is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ContractQuery:
    """What a contract is looked up by."""

    symbol: str
    security_type: str
    exchange: str
    primary_exchange: str
    currency: str = "USD"

    @property
    def what_to_show(self) -> str:
        """Kind of historical data."""
        return "AGGTRADES" if self.security_type == "CRYPTO" else "TRADES"

    @property
    def regular_hours(self) -> bool:
        """Whether bars are those of the session alone."""
        return self.security_type != "CRYPTO"


@dataclass(frozen=True)
class Instrument:
    """The one contract that IB knows by that description, and what IB says about it."""

    wanted: ContractQuery
    contract_id: int
    primary_exchange: str
    local_symbol: str
    trading_class: str
    long_name: str
    industry: str

    @property
    def group(self) -> str:
        """What IB's limit on requests about the same thing counts by."""
        return f"{self.contract_id}|{self.wanted.exchange}|{self.wanted.what_to_show}"


def wanted_of(row: Mapping[str, str | None]) -> ContractQuery:
    """Describe the contract of a row of the universe."""
    symbol = row["ibkr_symbol"] or ""
    if row["asset_class"] == "crypto":
        return ContractQuery(symbol, "CRYPTO", row["primary_exchange"] or "PAXOS", "")
    return ContractQuery(symbol, "STK", "SMART", row["primary_exchange"] or "")
