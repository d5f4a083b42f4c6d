"""The verbs, written once over `backends.contract`; they know no broker and no terminal."""
