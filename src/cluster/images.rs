//! Names of container images: written in full, and where Bitnami's went.
//!
//! Pure; depends on nothing of the crate. One reason: `postgres:17`, `docker.io/library/postgres:17` and
//! what containerd lists are one image under three names.

/// The name in full, as containerd keeps it: registry, `library/` for Docker's own, and a tag or digest.
pub fn normalised(image: &str) -> String {
    let (name, digest) = match image.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (image, None),
    };
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    // A registry has a dot or a port, or is localhost; else it is a user of Docker Hub.
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let (registry, path) = if is_registry {
        (
            if first == "index.docker.io" {
                "docker.io"
            } else {
                first
            },
            rest.to_owned(),
        )
    } else if first.is_empty() {
        ("docker.io", format!("library/{rest}"))
    } else {
        ("docker.io", name.to_owned())
    };
    let tagged = path
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    match digest {
        // The digest decides; a tag beside it is a comment.
        Some(digest) => {
            let bare = if tagged {
                path.rsplit_once(':').map_or(path.as_str(), |(p, _)| p)
            } else {
                &path
            };
            format!("{registry}/{bare}@{digest}")
        }
        None if tagged => format!("{registry}/{path}"),
        None => format!("{registry}/{path}:latest"),
    }
}

/// Where an image of `docker.io/bitnami` can be found since August 2025; `None` for others.
pub fn legacy(image: &str) -> Option<String> {
    normalised(image)
        .strip_prefix("docker.io/bitnami/")
        .map(|rest| format!("docker.io/bitnamilegacy/{rest}"))
}

/// The image's own name, without registry, path, tag and digest: what to grep for.
pub fn last_part(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(n, _)| n);
    let last = name.rsplit_once('/').map_or(name, |(_, l)| l);
    last.split_once(':').map_or(last, |(n, _)| n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_full() {
        for (image, full) in [
            ("postgres", "docker.io/library/postgres:latest"),
            ("postgres:17", "docker.io/library/postgres:17"),
            ("bitnami/postgresql:17", "docker.io/bitnami/postgresql:17"),
            (
                "index.docker.io/bitnami/postgresql:17",
                "docker.io/bitnami/postgresql:17",
            ),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("quay.io/a/b:1", "quay.io/a/b:1"),
            ("quay.io/a/b:1@sha256:ab", "quay.io/a/b@sha256:ab"),
            ("redis@sha256:ab", "docker.io/library/redis@sha256:ab"),
        ] {
            assert_eq!(normalised(image), full, "{image}");
        }
    }

    #[test]
    fn bitnamis_images_moved() {
        assert_eq!(
            legacy("docker.io/bitnami/postgresql:17.6.0-debian-12-r4").as_deref(),
            Some("docker.io/bitnamilegacy/postgresql:17.6.0-debian-12-r4")
        );
        assert_eq!(
            legacy("bitnami/os-shell:12").as_deref(),
            Some("docker.io/bitnamilegacy/os-shell:12")
        );
        assert_eq!(legacy("quay.io/bitnami/postgresql:17"), None);
        assert_eq!(legacy("docker.io/bitnamilegacy/postgresql:17"), None);
    }

    #[test]
    fn what_to_grep_for() {
        for (image, part) in [
            ("a/b/postgresql:17", "postgresql"),
            ("x@sha256:1", "x"),
            ("localhost:5000/y", "y"),
        ] {
            assert_eq!(last_part(image), part);
        }
    }
}
