"""The documentation site: `make docs` builds it from docs/ and from the code, without a network.

- ``build``: the command; puts the pages together, builds both languages, checks the links
- ``staging``: the pages of docs/ and of the repository's root, as the site needs them
- ``families``: a page for each family of models, from the registry
- ``docstrings``, ``griffe_extension``: docstrings without what only Sphinx reads
- ``links``: every link and address of the built site leads somewhere on it
- ``navigation.en.toml``, ``navigation.zh.toml``, ``zensical.toml``: the pages of each language, and
  the settings that both share

Zensical builds it: Material for MkDocs has reached its end of life, and this is what its makers
go on with. Nothing on the site is loaded from elsewhere, neither fonts nor scripts.
"""
