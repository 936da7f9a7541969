"""The standard image: its locks, how it is built by docker, podman or buildah, and what is known of a built one."""
