"""JSON Schemas of the configuration files, for editors; they lie beside the files."""

import json

from pydantic.json_schema import GenerateJsonSchema

from turbomode_assets.config.section import ConfigurationFile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _WithoutTitles(GenerateJsonSchema):
    """Keys name themselves; a title beside each would only repeat them."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def schema_file(configuration_file: str) -> str:
    """Return the name of a configuration file's schema, as its `$schema` key gives it."""
    return f"{configuration_file.removesuffix('.json')}.schema.json"


def json_schema(model: type[ConfigurationFile]) -> str:
    """Write the JSON Schema of a configuration file: keys, types, bounds and descriptions.

    Rules across several keys are beyond JSON Schema; only loading the file checks them.
    """
    schema = model.model_json_schema(schema_generator=_WithoutTitles)
    own = {"$schema": {"type": "string"}, "form": {"type": "integer", "minimum": 1}}
    schema["properties"] = own | schema["properties"]
    return json.dumps({"$schema": _DIALECT, **schema}, indent=2) + "\n"
