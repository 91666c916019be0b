import json

import pytest

from turbomode_assets.config.loader import FILES
from turbomode_assets.config.schemas import json_schema, schema_file
from turbomode_assets_tests.builders import REPOSITORY

CONFIGS = REPOSITORY / "configs"


@pytest.mark.parametrize("name", FILES)
def test_the_schema_beside_the_file_is_up_to_date(name):
    written = (CONFIGS / schema_file(name)).read_text(encoding="utf-8")
    assert written == json_schema(FILES[name]), "run `turbomode config schemas`"


@pytest.mark.parametrize("name", FILES)
def test_the_file_names_its_schema_and_the_schema_allows_it(name):
    content = json.loads((CONFIGS / name).read_text(encoding="utf-8"))
    schema = json.loads(json_schema(FILES[name]))
    assert content["$schema"] == schema_file(name)
    assert schema["properties"]["$schema"] == {"type": "string"}
    assert "$schema" not in schema["required"]


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_required_and_no_other_is_allowed(name):
    schema = json.loads(json_schema(FILES[name]))
    for section in [schema, *schema.get("$defs", {}).values()]:
        assert section["additionalProperties"] is False
        assert set(section["required"]) == set(section["properties"]) - {"$schema", "form"}
        assert section["description"]


@pytest.mark.parametrize("name", FILES)
def test_a_schema_has_no_defaults(name):
    assert '"default"' not in json_schema(FILES[name])


def test_bounds_and_choices_are_in_the_schema():
    sections = json.loads(json_schema(FILES["turbomode_training_config.json"]))["$defs"]
    assert sections["DriftConfig"]["properties"]["bins"] == {
        "maximum": 50,
        "minimum": 4,
        "type": "integer",
    }
    assert sections["TripleBarrierConfig"]["properties"]["entry"]["enum"] == ["next_open", "close"]
