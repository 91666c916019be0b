"""An operations store of each kind for the tests of this room."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

POSTGRES_VARIABLE = "TURBOMODE_TEST_POSTGRES_URL"


@pytest.fixture(params=["sqlite", "postgresql"])
def operations_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty store: a file, or a schema of its own on the server of that variable."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'operations' / 'operations.sqlite'}"
        return
    if POSTGRES_VARIABLE not in os.environ:
        pytest.skip(f"needs a PostgreSQL server: {POSTGRES_VARIABLE} is not set")
    url = sa.make_url(os.environ[POSTGRES_VARIABLE]).set(drivername="postgresql+psycopg")
    schema = f"test_{uuid.uuid4().hex}"
    server = sa.create_engine(url, poolclass=sa.NullPool)
    with server.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    own = url.update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    with server.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
