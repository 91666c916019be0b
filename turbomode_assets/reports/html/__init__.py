"""HTML pages from Jinja templates: how figures are written, tables, charts as SVG, one look."""
