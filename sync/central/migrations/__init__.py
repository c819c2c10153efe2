"""The history of the central's schema: one file a revision in ``versions``, run by ``sync/central/migrate.py``.

A further revision is written by hand: ``versions/r0002_<what>.py`` with ``revision``, ``down_revision`` (the one
before), ``additive`` and ``upgrade()``; then ``HEAD`` in ``sync/central/migrate.py``. It imports no model. A test
compares what the revisions make with what the models say, on SQLite and on PostgreSQL.
"""
