"""Read a GTFS zip (edge): every fault is one line that names file, line and field."""

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from stack.apps.errors import AppError
from stack.apps.transit.feed import Feed, Headway, Route, Service, Stop, StopTime, Trip
from stack.apps.transit.times import parse_time
from stack.runtime.files import sha256_file

# Above this a file is refused: a small zip can unpack to fill the memory.
MAX_TABLE_BYTES = 256 << 20
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
NOT_AVAILABLE = "1"  # pickup_type and drop_off_type


@dataclass(frozen=True)
class Row:
    """One line of a table; every accessor raises AppError naming where it stands."""

    where: str
    cells: Mapping[str, str]

    def optional(self, field: str) -> str:
        return self.cells.get(field, "")

    def text(self, field: str) -> str:
        value = self.optional(field)
        if not value:
            raise self.fault(field, "is missing")
        return value

    def day(self, field: str) -> date:
        text = self.text(field)
        try:
            if len(text) != len("YYYYMMDD"):
                raise ValueError
            return date.fromisoformat(text)
        except ValueError:
            raise self.fault(field, f"must be a date as YYYYMMDD, got {text[:20]!r}") from None

    def time(self, field: str) -> int:
        try:
            return parse_time(self.text(field))
        except ValueError as error:
            raise self.fault(field, str(error)) from None

    def whole(self, field: str, *, least: int) -> int:
        text = self.text(field)
        if not text.isascii() or not text.isdigit() or int(text) < least:
            raise self.fault(field, f"must be a whole number of at least {least}, got {text[:20]!r}")
        return int(text)

    def one_of(self, field: str, allowed: Mapping[str, bool]) -> bool:
        text = self.optional(field)
        if text not in allowed:
            raise self.fault(field, f"must be one of {', '.join(repr(value) for value in allowed)}, got {text[:20]!r}")
        return allowed[text]

    def known(self, field: str, table: Mapping[str, object], *, of: str) -> str:
        value = self.text(field)
        if value not in table:
            raise self.fault(field, f"{value!r} is not in {of}")
        return value

    def fault(self, field: str, what: str) -> AppError:
        return AppError(f"{self.where}: field `{field}`: {what}")


def read_feed(path: Path) -> Feed:
    """The feed in a GTFS zip; AppError when it cannot be read or does not hold together."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except OSError as error:
        raise AppError(f"{path.name}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise AppError(f"{path.name}: not a readable zip: {error}") from None


def _read(archive: zipfile.ZipFile, path: Path) -> Feed:
    def table(name: str, *, required: bool = True) -> Iterator[Row]:
        return _rows(archive, f"{name}.txt", feed=path.name, required=required)

    agency = next(table("agency"), None)
    if agency is None:
        raise AppError(f"{path.name}: agency.txt: has no row")
    stops = {row.text("stop_id"): Stop(row.text("stop_id"), row.optional("stop_name") or row.text("stop_id")) for row in table("stops")}
    routes = {row.text("route_id"): Route(row.text("route_id"), row.optional("route_short_name"), row.optional("route_long_name")) for row in table("routes")}
    services = _services(table("calendar", required=False), table("calendar_dates", required=False))
    if not any(service.start or service.added for service in services.values()):
        raise AppError(f"{path.name}: neither calendar.txt nor calendar_dates.txt names a day of service")
    trip_rows = {row.text("trip_id"): row for row in table("trips")}
    calls = _calls(table("stop_times"), trip_rows, stops)
    headways = _headways(table("frequencies", required=False), trip_rows)
    trips = tuple(
        Trip(
            id=trip_id,
            route_id=row.known("route_id", routes, of="routes.txt"),
            service_id=row.known("service_id", services, of="calendar.txt or calendar_dates.txt"),
            headsign=row.optional("trip_headsign"),
            calls=_timed(trip_id, calls.get(trip_id, []), row),
            headways=tuple(headways.get(trip_id, ())),
        )
        for trip_id, row in trip_rows.items()
    )
    return Feed(
        name=path.name,
        sha256=sha256_file(path),
        agency=agency.text("agency_name"),
        timezone=agency.text("agency_timezone"),
        stops=stops,
        routes=routes,
        trips=trips,
        services=services,
    )


def _rows(archive: zipfile.ZipFile, name: str, *, feed: str, required: bool) -> Iterator[Row]:
    """Rows of one table, cells stripped; short rows have empty last cells, as the format allows."""
    try:
        size = archive.getinfo(name).file_size
    except KeyError:
        if required:
            raise AppError(f"{feed}: {name} is missing") from None
        return
    if size > MAX_TABLE_BYTES:
        raise AppError(f"{feed}: {name} unpacks to {size} bytes, more than the limit of {MAX_TABLE_BYTES}")
    try:
        text = archive.read(name).decode("utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield Row(f"{feed}: {name} line {reader.line_num}", dict(zip(header, (cell.strip() for cell in cells), strict=False)))
    except UnicodeDecodeError:
        raise AppError(f"{feed}: {name} is not UTF-8 text") from None
    except csv.Error as error:
        raise AppError(f"{feed}: {name} is not CSV: {error}") from None


def _services(calendar: Iterator[Row], exceptions: Iterator[Row]) -> dict[str, Service]:
    added: dict[str, set[date]] = {}
    removed: dict[str, set[date]] = {}
    for row in exceptions:
        adds = row.one_of("exception_type", {"1": True, "2": False})
        (added if adds else removed).setdefault(row.text("service_id"), set()).add(row.day("date"))
    regular = {row.text("service_id"): row for row in calendar}
    return {
        service_id: Service(
            weekdays=tuple(row.one_of(day, {"0": False, "1": True}) for day in WEEKDAYS) if row else (False,) * 7,
            start=row.day("start_date") if row else None,
            end=row.day("end_date") if row else None,
            added=frozenset(added.get(service_id, ())),
            removed=frozenset(removed.get(service_id, ())),
        )
        for service_id in {**regular, **added, **removed}
        for row in [regular.get(service_id)]
    }


def _calls(rows: Iterator[Row], trips: Mapping[str, Row], stops: Mapping[str, Stop]) -> dict[str, list[Row]]:
    """Rows of stop_times.txt by trip, in the order of stop_sequence."""
    by_trip: dict[str, list[tuple[int, Row]]] = {}
    for row in rows:
        row.known("stop_id", stops, of="stops.txt")
        by_trip.setdefault(row.known("trip_id", trips, of="trips.txt"), []).append((row.whole("stop_sequence", least=0), row))
    return {trip_id: [row for _, row in sorted(entries, key=lambda entry: entry[0])] for trip_id, entries in by_trip.items()}


def _headways(rows: Iterator[Row], trips: Mapping[str, Row]) -> dict[str, list[Headway]]:
    found: dict[str, list[Headway]] = {}
    for row in rows:
        headway = Headway(
            start_s=row.time("start_time"),
            end_s=row.time("end_time"),
            every_s=row.whole("headway_secs", least=1),
            exact=row.one_of("exact_times", {"": False, "0": False, "1": True}),
        )
        found.setdefault(row.known("trip_id", trips, of="trips.txt"), []).append(headway)
    return found


def _timed(trip_id: str, rows: list[Row], trip: Row) -> tuple[StopTime, ...]:
    """Calls with times; those left out are interpolated evenly between the timed calls around them."""
    if len(rows) < 2:
        raise trip.fault("trip_id", f"{trip_id!r} has fewer than two calls in stop_times.txt")
    given = {index: _given(row) for index, row in enumerate(rows) if row.optional("arrival_time") or row.optional("departure_time")}
    for end in (0, len(rows) - 1):
        if end not in given:
            raise rows[end].fault("arrival_time", "is missing at the first or last call of a trip")
    calls: list[StopTime] = []
    for index, row in enumerate(rows):
        if index in given:
            arrive_s, depart_s = given[index]
        else:
            before = max(at for at in given if at < index)
            after = min(at for at in given if at > index)
            leave, reach = given[before][1], given[after][0]
            arrive_s = depart_s = leave + (reach - leave) * (index - before) // (after - before)
        if depart_s < arrive_s or (calls and arrive_s < calls[-1].depart_s):
            raise row.fault("arrival_time", "goes back in time")
        can_board, can_alight = (row.optional(field) != NOT_AVAILABLE for field in ("pickup_type", "drop_off_type"))
        calls.append(StopTime(row.text("stop_id"), arrive_s, depart_s, can_board, can_alight))
    return tuple(calls)


def _given(row: Row) -> tuple[int, int]:
    """Arrival and departure; where only one is given it stands for both."""
    first, second = (field if row.optional(field) else other for field, other in (("arrival_time", "departure_time"), ("departure_time", "arrival_time")))
    return row.time(first), row.time(second)
