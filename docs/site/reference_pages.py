"""Pages of the code: one a module, from its docstrings, and an index that begins with the names of the package."""

import html
import importlib
import inspect
import pkgutil

import spectral_jepa as sj

# Its functions are commands: their help is `spectral-jepa --help`.
LEFT_OUT = ("spectral_jepa.cli", "spectral_jepa.pixels.cli")


def modules():
    """Every public module of the package, by name."""
    names = ["spectral_jepa"]
    for info in pkgutil.walk_packages(sj.__path__, "spectral_jepa."):
        if not any(part.startswith("_") for part in info.name.split(".")) and not info.name.startswith(LEFT_OUT):
            names.append(info.name)
    return {name: importlib.import_module(name) for name in names}


def public(module):
    """Functions and classes that a module defines and does not hide."""
    return {
        name: item
        for name, item in vars(module).items()
        if not name.startswith("_")
        and getattr(item, "__module__", None) == module.__name__
        and (inspect.isfunction(item) or inspect.isclass(item))
    }


def collect(places):
    """Enter every public name, long and short, into ``places``; return modules that define some."""
    found = {name: module for name, module in modules().items() if public(module)}
    for name, module in found.items():
        document = f"api/{name}"
        places.documents[f"{name.replace('.', '/')}.py"] = document
        for own, item in public(module).items():
            full = f"{name}.{own}"
            places.names[full.removeprefix("spectral_jepa.")] = (document, full)
            if getattr(sj, own, None) is item:
                places.names[own] = (document, full)
            room = importlib.import_module(".".join(name.split(".")[:2]))
            if getattr(room, own, None) is item:
                places.names[f"{name.split('.')[1]}.{own}"] = (document, full)
            if inspect.isclass(item) and getattr(sj, own, None) is item:
                for method, function in vars(item).items():
                    if (not method.startswith("_") and isinstance(function, (property, staticmethod, classmethod))) or (
                        inspect.isfunction(function) and not method.startswith("_")
                    ):
                        places.names[f"{own}.{method}"] = (document, f"{full}.{method}")
    # What stands in a module that is not public itself is documented as of the package.
    for name in hidden():
        places.names[name] = ("api/spectral_jepa", f"{getattr(sj, name).__module__}.{name}")
    return {"spectral_jepa": sj} | found


def hidden():
    """Public names that live in a module which is not."""
    return [name for name in sj.__all__ if "._" in getattr(sj, name).__module__]


def module_page(name):
    """reStructuredText of a module's page."""
    if name == "spectral_jepa":
        own = "".join(f".. autoclass:: {getattr(sj, own).__module__}.{own}\n\n" for own in hidden())
        return f":orphan:\n\n{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :no-members:\n\n{own}"
    return f":orphan:\n\n{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n"


def index_page(places, found):
    """The names of the package by room, with what each says first, then all modules."""
    here = "api/index"
    lines = ["# Reference", "", "Every public name, from its docstring. `import spectral_jepa as sj` has these:", ""]
    rooms = {}
    for name in sj.__all__:
        item = getattr(sj, name)
        rooms.setdefault(item.__module__.split(".")[1], []).append(name)
    for room in sorted(rooms):
        lines += [f"## {room}", "", '<table class="names"><tbody>']
        for name in sorted(rooms[room], key=str.lower):
            said = html.escape((inspect.getdoc(getattr(sj, name)) or "").partition("\n")[0].replace("``", ""))
            lines.append(f"<tr><td>{places.to_name(here, name)}</td><td>{said}</td></tr>")
        lines += ["</tbody></table>", ""]
    lines += ["## Modules", "", '<table class="names"><tbody>']
    for name, module in found.items():
        said = html.escape((inspect.getdoc(module) or "").partition("\n")[0].replace("``", ""))
        link = places.anchor(here, f"<code>{name.removeprefix('spectral_jepa.')}</code>", f"api/{name}")
        lines.append(f"<tr><td>{link}</td><td>{said}</td></tr>")
    lines += ["</tbody></table>", ""]
    return "\n".join(lines)
