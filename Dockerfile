FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# What `cacheproxy version` says; the source that is copied has no history to take it from.
ARG RELEASE=unknown
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${RELEASE}" -o /cacheproxy ./cmd/cacheproxy

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /cacheproxy /cacheproxy
USER 65532:65532
EXPOSE 8080
# Asks the admin listener, which by default listens on the container's loopback address only.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["/cacheproxy", "health"]
# The configuration's listen address must be reachable from outside the container, such as :8080.
ENTRYPOINT ["/cacheproxy"]
CMD ["serve", "--config", "/etc/cacheproxy/config.yaml"]
