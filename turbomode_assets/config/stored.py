"""The training configuration that a model stored with itself, read section by section.

Who uses a model validates what he uses of its rules and no more: a rule of the gate that came
since, or went, stops no champion.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, ValidationError, create_model

from turbomode_assets.config.file_names import TRAINING_FILE
from turbomode_assets.config.section import Section
from turbomode_assets.config.training import TrainingConfig
from turbomode_assets.config.upgrades import FORM, present_form, upgraded
from turbomode_assets.contracts.errors import StoreError, first_few

AnySection = TypeVar("AnySection", bound=Section)

_SECTIONS = {field.annotation: name for name, field in TrainingConfig.model_fields.items()}


class StoredRules:
    """Rules of one stored model, in the form in which it was stored."""

    def __init__(self, stored: Mapping[str, Any], *, owner: str) -> None:
        self._stored, self._owner = stored, owner

    def read(self, kind: type[AnySection]) -> AnySection:
        """Read one section, or the whole configuration.

        Raises:
            StoreError: the section breaks the rules of this version.
            ConfigurationError: it was stored by a newer program.
        """
        content: Any = upgraded(TRAINING_FILE, self._stored, where=self._owner)
        if kind is not TrainingConfig:
            content = content.get(_SECTIONS[kind])
        try:
            return kind.model_validate(content)
        except ValidationError as error:
            raise self._refused(kind, error) from error

    def read_key(self, kind: type[Section], key: str) -> Any:
        """Read one key of a section, whatever else the section holds.

        Raises:
            StoreError: the key is missing or breaks the rules of this version.
            ConfigurationError: it was stored by a newer program.
        """
        content = upgraded(TRAINING_FILE, self._stored, where=self._owner).get(_SECTIONS[kind])
        field = kind.model_fields[key]
        fields: dict[str, Any] = {key: (field.annotation, field)}
        alone = create_model(kind.__name__, __config__=ConfigDict(extra="ignore"), **fields)
        try:
            return getattr(alone.model_validate(content), key)
        except ValidationError as error:
            raise self._refused(kind, error) from error

    def _refused(self, kind: type[Section], error: ValidationError) -> StoreError:
        place = [_SECTIONS[kind]] if kind is not TrainingConfig else []
        keys = (".".join(map(str, [*place, *detail["loc"]])) for detail in error.errors())
        return StoreError(
            f"the configuration stored with the model breaks this version's rules at "
            f"{first_few(keys)}",
            where=self._owner,
            fix="use the version of turbomode_assets that trained it, or train that session again",
        )


def rules_to_store(config: TrainingConfig) -> dict[str, Any]:
    """Plain data of a configuration with the form that it has."""
    form = present_form(TRAINING_FILE)
    return config.model_dump(mode="json") | ({FORM: form} if form > 1 else {})
