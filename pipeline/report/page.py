"""The report for people: one self-contained HTML page about a run."""

from collections.abc import Mapping

from hdnet.pipeline.report import charts, gallery, links, run_info, top
from hdnet.pipeline.report.panels import Panels
from hdnet.pipeline.report.run_info import RunInfo
from hdnet.pipeline.steps import flags
from hdnet.pipeline.steps.summary import Summary
from hdnet.transforms.pages import template


def render(info: RunInfo, summary: Summary, panels: Mapping[str, Panels]) -> str:
    """Return the page of a run. Its links are relative to `Layout.report`, where it must be stored.

    Args:
        info: What was run, when and how.
        summary: Totals of the run.
        panels: Pictures by id, as `panels.load` draws them; only the numbers are shown of an image without pictures.
    """
    return template.load("hdnet.pipeline.report", "report.html").render(
        info=info,
        history=links.link(info.layout.history, info.layout.report),
        summary=summary,
        rates=run_info.rates(info, summary),
        stage_name=run_info.stage_name,
        RECOLOURING=run_info.RECOLOURING,
        MEANINGS=flags.MEANINGS,
        verdict=top.verdict(summary),
        findings=top.findings(summary),
        tiles=top.tiles(summary),
        galleries=gallery.galleries(info, summary, panels),
        charts=charts.charts(summary),
    )
