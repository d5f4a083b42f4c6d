"""Where answers come from: option, environment, project file, user file, the built-in `local`. Knows no broker and no terminal."""
