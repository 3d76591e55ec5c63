import pytest
from tests.protocols.field.rigs import DEVICES, Bench


@pytest.fixture(scope="module", params=sorted(DEVICES))
def shared_bench(request, tmp_path_factory):
    if request.param == "mqtt":
        from vigie_protocols.broker import find_mosquitto

        if find_mosquitto() is None:
            pytest.skip("needs mosquitto")
    bench = Bench(request.param, tmp_path_factory.mktemp(request.param))
    with bench.runner:
        bench.run(bench.start())
        yield bench
        bench.run(bench.stop())


@pytest.fixture
def bench(shared_bench):
    shared_bench.run(shared_bench.reset())
    return shared_bench
