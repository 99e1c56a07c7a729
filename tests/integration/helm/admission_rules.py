"""What a ValidatingAdmissionPolicy decides, by Google's own CEL in place of the API server's (a Go program of the same language)."""

from typing import Any

from cel_expr_python import cel

Manifest = dict[str, Any]

VARIABLES = ("object", "oldObject", "request")
"""Those that the API server offers and the chart uses. Types are unknown to it too, as for a resource without a schema."""


class DecisionError(Exception):
    """An expression that does not compile, or has no truth value: a fault of the policy, not of the request."""


def refused(policy: Manifest, *, user: str, extra: dict[str, list[str]], name: str, operation: str = "CREATE") -> list[str]:
    """Messages of the validations that refuse this ConfigMap; empty when it is let in, also when the policy does not speak of this request.

    As the API server does it: conditions that are not all true leave the request alone, and an expression that fails while it is evaluated counts
    as a refusal, because `failurePolicy` is Fail.
    """
    spec = policy["spec"]
    if spec["failurePolicy"] != "Fail":
        raise DecisionError("only failurePolicy Fail is known here")
    request = {"operation": operation, "userInfo": {"username": user, "groups": ["system:serviceaccounts"], "extra": extra}}
    given = {"request": request, "object": {"metadata": {"name": name}}, "oldObject": None}
    for condition in spec["matchConditions"]:
        applies = evaluate(condition["expression"], given)
        if applies is None:
            return [f"condition {condition['name']} cannot be evaluated"]
        if not applies:
            return []
    return [each["message"] for each in spec["validations"] if not evaluate(each["expression"], given)]


def evaluate(expression: str, given: dict[str, Any]) -> bool | None:
    """True or false; None when it fails on these values, as for a key that is not there."""
    environment = cel.NewEnv(variables=dict.fromkeys(VARIABLES, cel.Type.DYN))
    try:
        compiled = environment.compile(expression)
    except Exception as error:  # the library raises what C++ threw
        raise DecisionError(f"{expression}: {error}") from None
    found = compiled.eval(data=given)
    if found.type() == cel.Type.ERROR:
        return None
    if found.type() != cel.Type.BOOL:
        raise DecisionError(f"{expression}: a {found.type().name()}, not a truth value")
    return bool(found.value())
