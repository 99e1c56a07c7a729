"""`stackproof bench`: measure a chat endpoint; one module per command."""

import typer

from stack.cli.bench import audit, calibrate, capacity, compare, report, run, schema, users

app = typer.Typer(no_args_is_help=True, help="Measure a streaming chat endpoint, with raw samples and a verdict on the load generator itself.")
app.command("run")(run.run)
app.command("list")(run.list_workloads)
app.command("schema")(schema.schema)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("recover")(run.recover)
app.command("check")(report.check)
app.command("audit")(audit.audit)
app.command("calibrate")(calibrate.calibrate)
app.command("capacity")(capacity.capacity)
app.command("users")(users.users)
