"""Tables of the records, as SQLAlchemy Core sees them; migrations make them. Times are UTC seconds."""

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, PrimaryKeyConstraint, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

gateways = Table(
    "gateways",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("district", Text),
    Column("root_epoch", BigInteger, nullable=False),
    Column("key_ring", Text, nullable=False),
    Column("enrolled_at", Double, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("pushed_at", Double, nullable=False),
    Column("withdrawn_at", Double),
    PrimaryKeyConstraint("id", "version"),
)

bundles = Table(
    "bundles",
    metadata,
    Column("gateway", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("contents", Text, nullable=False),
    Column("documents", JSONB, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    PrimaryKeyConstraint("gateway", "generation"),
)

reported = Table(
    "reported",
    metadata,
    Column("gateway", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("at", Double, nullable=False),
)

inventory = Table(
    "inventory",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("at", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)
