"""How Alembic reaches the database: over the connection that ``Records.open`` hands it."""

from alembic import context

from vigie_central.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
