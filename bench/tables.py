"""Tables of Markdown."""


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def verdict(holds):
    return "yes" if holds else "**no**"


def replaced(text, name, part):
    """The text of a README with another part between the lines <!-- NAME --> and <!-- end -->."""
    begin = text.index(f"<!-- {name} -->\n") + len(f"<!-- {name} -->\n")
    return text[:begin] + part + "\n" + text[text.index("<!-- end -->", begin):]
