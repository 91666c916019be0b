"""What a rule of the promotion gate is: declared once, beside the key that bounds its figure."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

AT_LEAST: Literal["at least"] = "at least"
AT_MOST: Literal["at most"] = "at most"
Bound = Literal["at least", "at most"]
Scope = Literal["whole", "regime", "champion"]


@dataclass(frozen=True)
class GateRule:
    """Which figure a key bounds, from which side, and what that means.

    `scope` says of what the figure is: all evaluated rows, each regime, or the comparison with a
    champion, without which the rule is left out.
    """

    figure: str
    bound: Bound
    sentence: str
    scope: Scope = "whole"

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the key in the file's JSON Schema by the sentence."""
        return {"description": self.sentence, **handler(core_schema)}


def gate_rules(section: type[BaseModel]) -> dict[str, GateRule]:
    """List the rules that a section declares, by the key of each, in its order."""
    return {
        key: rule
        for key, field in section.model_fields.items()
        for rule in field.metadata
        if isinstance(rule, GateRule)
    }
