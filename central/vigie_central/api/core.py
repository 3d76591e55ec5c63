"""What the routes work on, and the short names they use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Query, Request

from vigie_central.api.access import Require
from vigie_central.api.inventory import Inventory
from vigie_central.api.live import LiveHub
from vigie_central.api.views import Views
from vigie_central.host.orders import Orders
from vigie_central.host.session import Session
from vigie_central.policies.service import PolicyService
from vigie_central.store.history import History
from vigie_central.store.records import Records

PREFIX = "/api/v1"
ACTOR = "operator"
"""Who holds the token, in the audit: there is one token and so one name."""


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of a running coordinator that the API shows."""

    token: str
    views: Views
    hub: LiveHub
    history: History
    records: Records
    policies: PolicyService
    orders: Orders
    session: Session
    inventory: Inventory
    static: Path


def get_core(request: Request) -> Core:
    """The core of this application."""
    core: Core = request.app.state.core
    return core


CoreOf = Annotated[Core, Depends(get_core)]
PUBLIC = Depends(Require("public"))
VIEWER = Depends(Require("viewer"))
OPERATOR = Depends(Require("operator"))
Limit = Annotated[int, Query(ge=1, le=100_000)]
