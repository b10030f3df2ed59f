"""The ledger's schema, revision by revision (alembic). Loaded only when a database is made or upgraded."""
