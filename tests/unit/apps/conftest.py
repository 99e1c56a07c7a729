import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.apps.transit import sample_feed
from stack.apps.transit.feed import Feed

MakeZip = Callable[..., Path]

TABLES = {
    "agency": "agency_name,agency_url,agency_timezone\nNight Buses,https://example.org,Europe/Lisbon\n",
    "stops": "stop_id,stop_name\nA,Alpha\nB,Beta\nC,Gamma\n",
    "routes": "route_id,route_short_name,route_long_name\nR,7,\n",
    "calendar": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\nS,1,1,1,1,1,0,0,20240101,20241231\n",
    "trips": "route_id,service_id,trip_id\nR,S,T\n",
    "stop_times": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nT,23:50:00,23:50:00,A,10\nT,24:10:00,24:10:00,B,20\nT,24:30:00,24:30:00,C,30\n",
}


@pytest.fixture
def make_zip(tmp_path: Path) -> MakeZip:
    """A small GTFS zip of one night bus; `tables` replace or, when None, drop whole files."""

    def make(**tables: str | bytes | None) -> Path:
        path = tmp_path / "feed.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in {**TABLES, **tables}.items():
                if text is not None:
                    archive.writestr(f"{name}.txt", text)
        return path

    return make


@pytest.fixture(scope="session")
def feed() -> Feed:
    return sample_feed()
