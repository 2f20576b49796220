# syntax=docker/dockerfile:1

# Built on the machine's own platform, for the one that is asked for.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
# What `cacheproxy version` says; the source that is copied has no history to take it from.
ARG RELEASE=unknown
ARG TARGETOS=linux
ARG TARGETARCH
# The same source and release give the same bytes, wherever it is built.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=${RELEASE}" -o /cacheproxy ./cmd/cacheproxy

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /cacheproxy /cacheproxy
USER 65532:65532
# A loopback address, the default, cannot be reached from outside the container. The environment wins over the file: to
# listen on another port, set this one.
ENV CACHEPROXY_LISTEN=:8080
EXPOSE 8080
# Asks the admin listener, which by default listens on the container's loopback address only.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["/cacheproxy", "health"]
# Nothing is written: runs with --read-only --cap-drop=ALL.
ENTRYPOINT ["/cacheproxy"]
CMD ["serve", "--config", "/etc/cacheproxy/config.yaml"]
