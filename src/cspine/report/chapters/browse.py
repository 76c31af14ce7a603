"""Browse a study: its slices, and what is said of each."""

from __future__ import annotations

import pandas as pd

from cspine.report.browser import browser
from cspine.report.config import ReportConfig
from cspine.report.parts import Chapter, Markup, Words


def browse(browsed: pd.DataFrame, names: dict[str, str], config: ReportConfig) -> Chapter:
    """The browser, which draws what browsed.parquet holds; nothing is fetched."""
    if browsed.empty:
        return Chapter("browse", "Browse a study", [Words("No study is shown: report.studies is 0.")])
    return Chapter("browse", "Browse a study", [Markup(browser(browsed, names))])
