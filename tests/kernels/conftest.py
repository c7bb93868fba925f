"""Tests that meet kernels in Triton carry a mark of their own, `triton`: its interpreter is slow."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "triton: kernels in Triton, on a GPU or in Triton's interpreter")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith("tests/kernels/") and "triton" in item.nodeid:
            item.add_marker("triton")
