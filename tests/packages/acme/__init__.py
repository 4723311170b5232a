"""A third party's kind with three versions: what the engines are tested on."""
