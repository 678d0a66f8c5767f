"""The site that wires the apps together: settings, URLs, the embedded services and the supervisor."""
