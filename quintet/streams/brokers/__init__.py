"""One file a broker; :mod:`quintet.streams.base` says what each must do."""
