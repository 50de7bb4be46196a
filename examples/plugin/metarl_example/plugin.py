"""The same parts for `metarl --plugin metarl_example.plugin ...`, without installing anything."""

from metarl.util.plugins import register

register("metarl.algorithms", "fomaml", "metarl_example.fomaml_config:FOMAMLConfig")
register("metarl.memories", "mgu", "metarl_example.mgu:MinimalGatedUnit")
register("metarl.families", "CartOnSlope", "metarl_example.cart:CartOnSlope")
