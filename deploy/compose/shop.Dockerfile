# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /shop ./test/shop/cmd/shop

FROM scratch
COPY --from=build /shop /shop
USER 65532:65532
EXPOSE 9000
ENTRYPOINT ["/shop"]
