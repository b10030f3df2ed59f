"""What alembic runs: it migrates the connection that `hearth.ledger` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from hearth.ledger._tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # The caller began the transaction and commits it: a schema is upgraded whole or not at all.
    transactional_ddl=False,
)
context.run_migrations()
