"""What a person reads of a run: one HTML file with its verdict, figures and plots.

In: the samples and the summary of one run, or a folder of several. Out: `report.html`, complete in itself: no script, no second
file, no network. Every plot is thinned or binned, so that a million tokens draw as fast as a thousand. It must never change a
figure, and never fail the run it reports.
"""

from bench.report.write import REPORT, write_report

__all__ = ["REPORT", "write_report"]
