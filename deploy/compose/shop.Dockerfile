# syntax=docker/dockerfile:1

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY test/system/go.mod test/system/go.sum test/system/
RUN --mount=type=cache,target=/go/pkg/mod go mod download && go mod download -C test/system
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -C test/system -trimpath -buildvcs=false -o /shop ./shop/cmd/shop

FROM scratch
COPY --from=build /shop /shop
USER 65532:65532
EXPOSE 9000
ENTRYPOINT ["/shop"]
