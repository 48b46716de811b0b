"""Every operation of every installed plugin keeps the contract; no operation can skip it."""

from pipeline_core.testing import contract

test_contract = contract(
    params={
        "remove_background": {"x": 6, "y": 4, "width": 28, "height": 24},
        "resize": {"width": 24},
        "stack_layers": {"names": ["figure", "ground"]},
    }
)
