"""--forbid-skips: a run that skips a test fails."""

import pytest


def pytest_addoption(parser):
    parser.addoption("--forbid-skips", action="store_true", help="fail if any test is skipped")


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("forbid_skips") and reporter.stats.get("skipped"):
        reporter.write_line("\n--forbid-skips: the tests listed as skipped count as failures", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
