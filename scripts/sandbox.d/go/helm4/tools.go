//go:build tools

// Package tools names the program that is built from this module as it is.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
