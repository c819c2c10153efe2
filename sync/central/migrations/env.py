"""Alembic's entry: runs the asked-for revisions over the connection that ``sync/central/migrate.py`` hands in.

That connection is inside the transaction that holds the lock; Alembic neither begins nor commits one.
"""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
