"""Documents, bundles, and what the gateways make of them."""

import msgspec
from fastapi import APIRouter

from vigie_central.api import models
from vigie_central.api.core import ACTOR, OPERATOR, PREFIX, VIEWER, CoreOf
from vigie_central.api.views import policy_row
from vigie_central.policies import tables
from vigie_protocols.errors import InputError

router = APIRouter(prefix=f"{PREFIX}/policies", tags=["policies"])


@router.get("", dependencies=[VIEWER])
async def list_policies(core: CoreOf) -> models.Policies:
    """All documents, newest first, with the state of each."""
    found = await core.records.run(tables.all_documents)
    newest: dict[str, int] = {}
    for each in found:
        newest[each.id] = max(each.version, newest.get(each.id, 0))
    return models.Policies(policies=[policy_row(each, each.version == newest[each.id]) for each in found])


@router.get("/status", dependencies=[VIEWER])
async def get_status(core: CoreOf) -> models.PolicyStatus:
    """Per gateway: the bundle it should run, what it reports, why it refused."""
    return models.PolicyStatus(gateways=[core.views.status(name) for name in sorted(core.views.names())])


@router.post("/validate", dependencies=[VIEWER])
async def validate(core: CoreOf, request: models.ValidateRequest) -> models.Validation:
    """Check a document without keeping it."""
    try:
        _, gateways = await core.policies.validate(request.document, request.file)
    except InputError as error:
        problems = [
            models.Finding(field=each.field, value=each.value, reason=each.reason, remedy=each.remedy)
            for each in error.problems
        ]
        return models.Validation(valid=False, problems=problems)
    return models.Validation(valid=True, gateways=sorted(gateways))


@router.post("/push", dependencies=[OPERATOR])
async def push(core: CoreOf, request: models.PushRequest) -> models.Pushed:
    """Take a signed document and send the bundles that follow from it."""
    document, bundles = await core.policies.push(msgspec.json.encode(request.envelope), request.scope, ACTOR)
    return models.Pushed(
        id=document.id,
        version=document.version,
        hash=document.hash,
        bundles={name: core.views.bundle(bundle) for name, bundle in sorted(bundles.items())},
    )


@router.post("/{policy}/withdraw", dependencies=[OPERATOR])
async def withdraw(core: CoreOf, policy: str) -> dict[str, models.Desired]:
    """Take a document out of every bundle; gives the new bundles."""
    bundles = await core.policies.withdraw(policy, ACTOR)
    return {name: core.views.bundle(bundle) for name, bundle in sorted(bundles.items())}
